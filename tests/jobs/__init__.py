"""Jobs under faults: real servers, real worker processes, and an attempt that trains nothing."""

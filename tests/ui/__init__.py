"""The web page: its pages as AppTest runs them, its front and door over real HTTP; the API behind it is a real one."""

window.__streamlit = { BACKEND_BASE_URL: window.location.origin + "/" };

"""The one script that Streamlit runs, alone in its folder."""

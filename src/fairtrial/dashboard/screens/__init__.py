"""Pages: each a script that Streamlit runs when it is drawn."""

"""The dashboard: Streamlit pages over the service's own API, or over a folder of scorecards.

`SCRIPT` is what a server mounts; nothing here is imported by the floors below.
"""

from pathlib import Path

SCRIPT = Path(__file__).with_name("app.py")
"""The script that Streamlit runs for each visitor."""

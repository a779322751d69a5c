"""The script that Streamlit runs for each visitor: sign in, then the page that the address names."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from fairtrial.dashboard.source import Desk, folder
from fairtrial.errors import FairtrialError

PAGES = Path(__file__).with_name("screens")
PLACES = {
    "Watch": [("home", "Home"), ("experiment", "Experiment"), ("interactions", "Interactions"), ("models", "Models")],
    "Run": [("plan", "Create and plan"), ("incrementality", "Incrementality"), ("rollouts", "Rollouts"), ("bandits", "Bandits")],
    "Keep": [("catalog", "Catalog and decisions"), ("admin", "Admin")],
}  # by group: file and address, title

STYLE = """<style>
[data-testid="stMainBlockContainer"] {padding-top: 3rem; max-width: 76rem}
[data-testid="stCaptionContainer"] p {font-size: 0.85rem}
:focus-visible {outline: 2px solid currentColor !important; outline-offset: 2px}
@media (max-width: 640px) {[data-testid="stMainBlockContainer"] {padding: 2.5rem 0.9rem}}
</style>"""


def pages() -> dict[str, list[st.Page]]:
    """The pages of a service, by group."""
    return {
        group: [st.Page(PAGES / f"{name}.py", title=title, url_path=name, default=name == "home") for name, title in members]
        for group, members in PLACES.items()
    }


def sign_in() -> bool:
    """Whether somebody is signed in; asks for a token where the service wants one."""
    if "desk" in st.session_state:
        return True
    address = str(st.secrets["fairtrial"]["address"])
    try:
        st.session_state["desk"] = Desk(address, None)
    except FairtrialError as error:
        if error.code != "unauthenticated":
            st.error(f"The service at {address} cannot be reached: {error.message}")
            if st.button("Try again"):
                st.rerun()
            return False
        return _ask_for_token(address)
    return True


def _ask_for_token(address: str) -> bool:
    st.title("fairtrial", anchor=False)
    with st.form("sign in", width=480):
        token = st.text_input("API key or token", type="password", help="`fairtrial token create --role VIEWER` makes one.")
        sent = st.form_submit_button("Sign in", type="primary")
        if sent and not token.strip():
            st.error("A token is needed.")
        elif sent:
            try:
                st.session_state["desk"] = Desk(address, token.strip())
                st.rerun()
            except FairtrialError as error:
                st.error(f"{error.message} {error.hint or ''}")
    st.caption("The token stays in this session: it is neither stored nor put into an address.")
    return False


def main() -> None:
    """Draw one page."""
    st.set_page_config(page_title="fairtrial", layout="wide")
    st.html(STYLE)
    if folder() is not None:
        st.navigation([st.Page(PAGES / "scorecards.py", title="Scorecards", default=True)]).run()
        return
    known = sign_in()
    page = st.navigation(pages(), position="sidebar" if known else "hidden")  # the address keeps its page while one signs in
    if not known:
        return
    with st.sidebar:
        desk: Desk = st.session_state["desk"]
        local = desk.auth_mode == "off"
        st.caption("No authentication: everybody on this machine may do everything." if local else f"{desk.name} · {desk.role}")
        if not local and st.button("Sign out"):
            del st.session_state["desk"]
            st.rerun()
        if st.button("Refresh", help="Read everything again."):
            desk.forget()
            st.rerun()
    page.run()


main()

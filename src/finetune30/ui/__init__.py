"""The web page: log in, submit, watch, compare, try, in a browser; in English and Traditional Chinese.

    browser ─► uvicorn ─► Front (hosts, headers, who is logged in) ─► door (/login, /logout)
                                                                  └─► Streamlit ─► script ─► shell ─► pages ─► client

Nothing lives in the page: a login is a ``Seat`` on the server, named by a cookie no script can read; all else is asked
of the API through ``client``, and of nothing else. Neighbours: ``cli.ui`` starts ``serve``. No database, store,
registry or settings here: what the page needs to know of them are its ``Options``.
"""

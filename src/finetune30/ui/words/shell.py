"""Of what stands around every page."""

WORDS = {
    "train": ("Train", "訓練"),
    "library": ("Library", "資料與模型"),
    "operate": ("Operate", "管理"),
    "submit": ("New training", "新增訓練"),
    "experiments": ("Experiments", "實驗"),
    "run": ("Run", "單次訓練"),
    "compare": ("Compare", "比較"),
    "data": ("Data", "資料"),
    "models": ("Models", "模型"),
    "try": ("Try it", "試用"),
    "admin": ("Administration", "系統管理"),
    "account": ("Account", "帳號"),
    "language": ("Language", "語言"),
    "logout": ("Log out", "登出"),
    "ended": ("You are logged out, or your session has ended.", "您已登出，或登入已逾時。"),
    "login": ("Log in", "登入"),
    "away": (
        "The server does not answer just now. Nothing is lost: trainings go on.",
        "伺服器暫時沒有回應。不會遺失任何資料，訓練會繼續進行。",
    ),
    "again": ("Try again", "重試"),
    "fault": (
        "Something went wrong on this page. The server's log has the details under {number}.",
        "此頁面發生錯誤，詳情請見伺服器紀錄：{number}。",
    ),
    "next": ("What to do next", "建議"),
}

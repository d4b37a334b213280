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
    "is_admin": ("administrator", "系統管理員"),
    "is_user": ("user", "一般使用者"),
    "ended": (
        "Your session has ended. You are taken to the login page and come back here afterwards.",
        "登入已逾時，即將前往登入頁面，登入後會回到此頁。",
    ),
    "away": (
        "The server does not answer just now. Nothing is lost: trainings go on.",
        "伺服器暫時沒有回應。不會遺失任何資料，訓練會繼續進行。",
    ),
    "again": ("Try again", "重試"),
    "not_there": (
        "There is no such thing for you here: it never was, was deleted, or belongs to somebody else.",
        "這裡沒有您可以查看的內容：可能不存在、已刪除，或屬於其他使用者。",
    ),
    "back": ("Back to the experiments", "回到實驗"),
    "fault": (
        "Something went wrong on this page. The server's log has the details under {number}.",
        "此頁面發生錯誤，詳情請見伺服器紀錄：{number}。",
    ),
    "afresh": ("Start this page afresh", "重新開始此頁"),
    "hint": ("What to do next", "建議"),
    "lost": (
        "The connection to the page is lost just now. It comes back by itself; trainings go on.",
        "目前與頁面的連線中斷，恢復後會自動重新連線，訓練會繼續進行。",
    ),
    "script": (
        "This page needs JavaScript. The same can be done with the command line and the API.",
        "此頁面需要啟用 JavaScript。您也可以改用命令列或 API。",
    ),
}

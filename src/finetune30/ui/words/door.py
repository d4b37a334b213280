"""Of the pages before the page."""

WORDS = {
    "title": ("Log in · finetune30", "登入 · finetune30"),
    "welcome": ("Fine-tune text classifiers, and keep every run.", "微調文字分類模型，每次訓練都留下紀錄。"),
    "name": ("User name", "使用者名稱"),
    "password": ("Password", "密碼"),
    "enter": ("Log in", "登入"),
    "first": (
        "No account yet? An administrator makes one for you. On your own machine, the server's log told the name and "
        "password of the first administrator.",
        "還沒有帳號？請洽系統管理員。若是在自己的電腦上執行，第一位管理員的名稱與密碼會顯示在伺服器的紀錄中。",
    ),
    "refused": ("User name and password do not belong together.", "使用者名稱或密碼不正確。"),
    "often": ("Too many tries. Please wait a little.", "嘗試次數過多，請稍候再試。"),
    "away": (
        "The server does not answer just now. Please try again in a moment; trainings go on.",
        "伺服器暫時沒有回應，請稍後再試。訓練不會中斷。",
    ),
    "other": ("You cannot log in just now.", "目前無法登入。"),
    "elsewhere": (
        "This form was sent from another page; please try again here.",
        "此表單來自其他網頁，請在此重新登入。",
    ),
    "left": ("You are logged out.", "您已登出。"),
    "ended": (
        "Your session has ended, so please log in again: you come back to where you were.",
        "登入已逾時，請重新登入，之後會回到原來的頁面。",
    ),
    "sure": ("Do you want to log out? Trainings go on.", "確定要登出嗎？訓練會繼續進行。"),
    "leave": ("Log out", "登出"),
    "stay": ("Stay logged in", "保持登入"),
    "nowhere_title": ("No such page · finetune30", "沒有此頁 · finetune30"),
    "nowhere": ("There is no such page.", "找不到這個頁面。"),
    "home": ("To the experiments", "前往實驗列表"),
    "languages": ("Language", "語言"),
}

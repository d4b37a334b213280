"""Of the login page."""

WORDS = {
    "title": ("Log in · finetune30", "登入 · finetune30"),
    "welcome": ("Fine-tune text classifiers, and keep every run.", "微調文字分類模型，每次訓練都留有紀錄。"),
    "name": ("Name", "使用者名稱"),
    "password": ("Password", "密碼"),
    "enter": ("Log in", "登入"),
    "refused": ("Name and password do not belong together.", "使用者名稱或密碼不正確。"),
    "elsewhere": (
        "This form was sent from another page; please try again here.",
        "此表單來自其他網頁，請在此重新登入。",
    ),
}

"""Of values: states, units, times."""

WORDS = {
    "PENDING": ("Waiting", "等待中"),
    "STARTED": ("Running", "執行中"),
    "SUCCESS": ("Done", "已完成"),
    "FAILURE": ("Failed", "失敗"),
    "REVOKED": ("Cancelled", "已取消"),
    "PAUSED": ("Paused", "已暫停"),
    "s": ("s", "秒"),
    "min": ("min", "分"),
    "h": ("h", "小時"),
    "d": ("d", "天"),
    "just_now": ("just now", "剛剛"),
    "ago": ("{time} ago", "{time}前"),
    "at_once": ("in a moment", "即將開始"),
    "in_minutes": ("within minutes", "數分鐘內"),
    "in_about": ("in about {time}", "約 {time}後"),
    "tokens_s": ("tokens/s", "token/秒"),
    "and": ("{one}, {other}", "{one}、{other}"),
    "and_more": ("{names} and {count} more", "{names}等，另有 {count} 項"),
}

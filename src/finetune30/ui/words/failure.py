"""Of why a training failed."""

WORDS = {
    "failed_before": ("It failed {count} time(s) and is tried again.", "已失敗 {count} 次，將再次嘗試。"),
    "data_refused": ("The checks refused the data {data}: {found}.", "資料 {data} 未通過檢查：{found}。"),
    "data_refused_next": (
        "Mend the rows and send the file again, or run again with the setting that only warns.",
        "請修正資料列後重新上傳，或修改設定為僅警告再訓練。",
    ),
    "data_report": ("What the checks found", "查看檢查結果"),
    "no_reason": ("No reason was told.", "沒有提供原因。"),
}

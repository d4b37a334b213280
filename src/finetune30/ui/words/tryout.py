"""Of the page where sentences and files are tried."""

WORDS = {
    "single_only": (
        "This model was trained on single texts and takes no second ones. Leave the second texts empty and ask again.",
        "此模型以單段文字訓練，不接受第二段文字。請將第二段文字留空後再試。",
    ),
    "pairs_only": (
        "This model was trained on pairs of texts. Give a second text for each text and ask again.",
        "此模型以成對文字訓練。請為每段文字填入第二段文字後再試。",
    ),
    "sentences": ("Sentences", "句子"),
    "file": ("A file", "檔案"),
    "who": ("Who answers", "使用的模型"),
    "who_hint": (
        "Choose, or type films@champion, films/3 or the id of a run",
        "請選擇，或輸入 films@champion、films/3 或訓練 ID",
    ),
    "who_help": (
        "Aliases and versions of models, and your runs that succeeded; up to {most}, whose answers stand side by side.",
        "模型的別名與版本，以及您已完成的訓練；最多 {most} 個，結果會並排顯示。",
    ),
    "nothing": (
        "**Nothing to try yet.** As soon as a training has succeeded, its model answers here.",
        "**目前沒有可試用的模型。** 訓練完成後，即可在此試用。",
    ),
    "to_submit": ("Start a training", "開始訓練"),
    "service": ("{base} on {device} · adapters in memory: {count}", "{base}（{device}）· 記憶體中的模型：{count} 個"),
    "no_base": ("No base model is loaded yet", "尚未載入基底模型"),
    "away": (
        "The service of predictions does not answer just now. What you typed stays. Start it, or ask whoever runs it:",
        "預測服務目前沒有回應，您輸入的內容會保留。請啟動服務，或聯絡系統管理員：",
    ),
    "away_for": (
        "{name}: the service of predictions stopped answering. Ask again in a moment.",
        "{name}：預測服務沒有回應，請稍後再試。",
    ),
    "away_file": (
        "The service of predictions stopped answering, so there is no file. Label it again in a moment.",
        "預測服務沒有回應，因此未產生檔案。請稍後重新標註。",
    ),
    "text": ("Texts, one a line", "文字（每行一則）"),
    "text_hint": ("This movie was great!\nI left after ten minutes.", "這部電影真好看！\n看了十分鐘就離場了。"),
    "more": ("More: one long text, pairs of texts", "更多選項：單篇長文、成對文字"),
    "how": ("Read as", "讀取方式"),
    "how_lines": ("a text on each line", "每行一則文字"),
    "how_whole": ("one text", "整段為一則文字"),
    "pair": ("Second texts, in the same order", "第二段文字（順序相同）"),
    "pair_help": (
        "Only for models that were trained on pairs of texts, such as a question and its answer.",
        "僅用於以成對文字訓練的模型，例如問題與答案。",
    ),
    "ask": ("Ask", "送出"),
    "asking": (
        "Asking; a model that is asked for the first time is loaded before.",
        "處理中；第一次使用的模型需先載入。",
    ),
    "start": ("Type or paste some sentences and ask.", "請輸入或貼上句子，然後送出。"),
    "choose_one": ("Choose who answers first.", "請先選擇模型。"),
    "no_text": ("Type a text first.", "請先輸入文字。"),
    "too_many": (
        "{count} texts are more than the {most} of one question; a file may hold more.",
        "共 {count} 則，超過一次 {most} 則的上限；更多文字請使用檔案。",
    ),
    "odd_pairs": (
        "{first} first texts and {second} second ones: each needs its own.",
        "第一段文字有 {first} 則，第二段有 {second} 則，數量必須相同。",
    ),
    "answers": ("Answers", "結果"),
    "head": ("{count} texts, {each} ms each · {base}", "{count} 則，每則 {each} ms · {base}"),
    "apart": ("They differ on {apart} of {count} texts.", "{count} 則中有 {apart} 則結果不同。"),
    "alike": ("All agree on all {count} texts.", "{count} 則文字的結果全部一致。"),
    "no_label": ("(no label)", "（無標籤）"),
    "truncated": ("cut: longer than the model reads", "已截斷：超過模型可讀長度"),
    "text_column": ("Text", "文字"),
    "label": ("Label", "標籤"),
    "probability": ("Probability", "機率"),
    "note": ("Note", "備註"),
    "table_alt": ("Texts and their answers: {count} rows", "文字與結果：{count} 列"),
    "file_help": (
        "CSV or TSV with a header, JSON Lines, or text with one on each line; in UTF-8, up to {rows} rows, {size} MB."
        " It comes back with label and probability of each row. Stay on this page until it is done.",
        "含標題列的 CSV 或 TSV、JSON Lines，或每行一則的文字檔；UTF-8 編碼，最多 {rows} 列、{size} MB。"
        "完成後會附上每列的標籤與機率。處理期間請停留在此頁。",
    ),
    "choose_file": ("File", "檔案"),
    "column": ("Column of the texts", "文字欄位"),
    "second_column": ("Column of second texts", "第二段文字欄位"),
    "no_second": ("none", "無"),
    "rows_found": ("{count} rows, {columns} columns", "{count} 列，{columns} 個欄位"),
    "label_file": ("Label the file", "標註檔案"),
    "progress": ("{done} of {total} answers", "已完成 {done}／{total}"),
    "labelled": (
        "Done: {rows} rows; without a text and therefore without a label: {empty}; cut: {cut}.",
        "完成：共 {rows} 列；沒有文字而未標註：{empty}；已截斷：{cut}。",
    ),
    "get_file": ("Labelled file", "下載標註結果"),
    "preview": ("The first {count} rows; the file has all.", "僅顯示前 {count} 列，檔案包含全部資料。"),
    "preview_alt": ("The first rows with their labels: {count}", "前 {count} 列與其標籤"),
    "bad_ending": ("Expected a file that ends with {endings}.", "檔案副檔名必須是 {endings}。"),
    "bad_large": ("The file is larger than {most} MB.", "檔案超過 {most} MB。"),
    "bad_encoding": (
        "The file is not text in UTF-8. Save it as UTF-8 and choose it again.",
        "檔案不是 UTF-8 編碼，請另存為 UTF-8 後再選擇。",
    ),
    "bad_empty": ("The file has no rows.", "檔案沒有任何資料列。"),
    "bad_many": (
        "The file has {count} rows, expected at most {most}. Divide it.",
        "檔案有 {count} 列，上限為 {most} 列，請分割後再試。",
    ),
    "bad_columns": ("The file has more than {most} columns.", "檔案超過 {most} 個欄位。"),
    "bad_twice": ("Two columns are named {name}.", "有兩個欄位都叫 {name}。"),
    "bad_csv": (
        "Line {line} cannot be read: a quote is not closed, or stands where none may.",
        "第 {line} 行無法讀取：引號未結束或位置不正確。",
    ),
    "bad_width": (
        "Line {line} has {count} cells, the header {expected}. A text with the separator in it needs quotes.",
        "第 {line} 行有 {count} 欄，標題列有 {expected} 欄。文字若包含分隔符號，請加上引號。",
    ),
    "bad_json": ("Line {line} is no JSON object or text.", "第 {line} 行不是 JSON 物件或字串。"),
    "bad_long": ("The text of row {row} is too long to be asked.", "第 {row} 列的文字過長，無法處理。"),
}

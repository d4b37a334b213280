"""The page to try: who answers, sentences and files, answers side by side."""

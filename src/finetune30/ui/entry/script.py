"""What Streamlit runs at each look and each click."""

from finetune30.ui.shell import main

main()

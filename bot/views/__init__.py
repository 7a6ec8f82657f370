"""What stands in and below a message, and how an interaction is answered. No state: a button's id is enough.

panels.py         which buttons stand below which message;  button_id.py   what their ids say
job_button.py     JobButton, which answers a click on any of them;  forms.py   the same for forms, such as remix.py
clicks.py         what each action does: one service call and its answer
first_answer.py   the first three seconds of a command or button that starts a job
job_text.py       the words of a job's message       result.py   its picture file;  repost.py   /show
history_page.py   one page of /history          looks_page.py   the same by what pictures look like
interactions.py   who asks, and how to answer in time, also when something failed
"""

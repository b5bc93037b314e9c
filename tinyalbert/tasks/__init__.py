"""Tasks, one short file each, behind one protocol (task.py).

Training, evaluation and prediction are written once for all of them.
"""

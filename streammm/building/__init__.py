"""Configuration -> the parts of the pipeline, a module for each part. The only package that knows both.

Nothing here imports torch before a part that needs it is made: those who only decode do without it.
"""

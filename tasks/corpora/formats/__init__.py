"""Readers of source formats, one file each: CHAT, TalkBank XML, VisDial, COCO captions.

A new one is registered in `tasks.corpora.importing.import_corpus`.
"""

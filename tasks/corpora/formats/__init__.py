"""Readers of source formats, one file each: CHAT, TalkBank XML, VisDial, COCO captions."""

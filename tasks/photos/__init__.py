"""Testbeds of real photos that users bring: COCO and Visual Dialog with their images."""

from groundbench.tasks.photos.build import Choices, picture_coco, picture_visdial
from groundbench.tasks.photos.manifest import PictureManifest, is_pictures
from groundbench.tasks.photos.testbed import PictureTestbed

__all__ = ["Choices", "PictureManifest", "PictureTestbed", "is_pictures", "picture_coco", "picture_visdial"]

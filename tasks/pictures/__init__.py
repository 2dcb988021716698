"""Testbeds of real photos that users bring: COCO and Visual Dialog with their images."""

from groundbench.tasks.pictures.building import Choices, picture_coco, picture_visdial
from groundbench.tasks.pictures.manifest import PictureManifest, is_pictures
from groundbench.tasks.pictures.testbed import PictureTestbed

__all__ = ["Choices", "PictureManifest", "PictureTestbed", "is_pictures", "picture_coco", "picture_visdial"]

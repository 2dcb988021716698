"""Testbeds of real photos that users bring: COCO and Visual Dialog with their images."""

from groundbench.tasks.photos.build import Choices, photos_from_coco, photos_from_visdial
from groundbench.tasks.photos.manifest import PhotoManifest, is_photo_folder
from groundbench.tasks.photos.testbed import PhotoTestbed

__all__ = ["Choices", "PhotoManifest", "PhotoTestbed", "is_photo_folder", "photos_from_coco", "photos_from_visdial"]

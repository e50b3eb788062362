"""What the built-in nets take and give, in numbers; known without loading torch, which the nets themselves need."""

IMAGE_PIXELS = 224
IMAGE_FEATURES = 1280
IMAGE_CLASSES = 1000

PATCH_FRAMES = 96
SOUND_FEATURES = 1024
SOUND_CLASSES = 521

TEXT_FEATURES = 384
MAX_TOKENS = 256

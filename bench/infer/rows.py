"""The rows of the bench, and what every process of it makes for itself: weights and inputs, from names alone."""
import dataclasses
import zlib

import numpy


@dataclasses.dataclass(frozen=True)
class Row:
    title: str
    target: str  # in models/
    params: int
    shapes: dict  # sizes of dimension variables
    more: str = ""  # further entries, whose weights belong to the model
    ints: tuple = (0, 10)  # integer inputs, lo and end


SD = "stable_diffusion.weft:StableDiffusion"
ROWS = {
    "lenet": Row("LeNet-5", "lenet.weft:LeNet:logits", 61706, {"B": 1}),
    "lenet-b16": Row("LeNet-5, batch 16", "lenet.weft:LeNet:logits", 61706, {"B": 16}),
    "vae": Row("dense VAE", "vae.weft:VAE:reconstruct", 652824, {"B": 1}, more="encode"),
    "vae-b16": Row("dense VAE, batch 16", "vae.weft:VAE:reconstruct", 652824, {"B": 16}, more="encode"),
    "dcgan": Row("DCGAN generator", "dcgan.weft:DCGAN:generate", 3576704, {"n": 1}),
    "dcgan-b16": Row("DCGAN generator, batch 16", "dcgan.weft:DCGAN:generate", 3576704, {"n": 16}),
    "resnet18": Row("ResNet-18, 224²", "resnet.weft:ResNet:logits", 11689512, {"B": 1, "H": 224, "W": 224}),
    "vit": Row("ViT-B/16, 224²", "vit.weft:ViT:logits", 86567656, {"B": 1}),
    "ddpm": Row("DDPM CIFAR U-Net, 32²", "ddpm_cifar.weft:DDPM:predict", 35746307, {"B": 1}, ints=(0, 1000)),
    "cyclegan": Row("CycleGAN generator, 256²", "cyclegan.weft:CycleGAN:to_B", 11378179, {"B": 1, "H": 256, "W": 256}),
    "sd-vae": Row("SD VAE decoder, 32² latents", f"{SD}:image", 49490199, {"B": 1, "h": 32, "w": 32}),
    "sd-vae64": Row("SD VAE decoder, 64² latents", f"{SD}:image", 49490199, {"B": 1, "h": 64, "w": 64}),
    "sd-unet": Row("SD U-Net, 32² latents", f"{SD}:predict", 859520964, {"B": 1, "h": 32, "w": 32}, ints=(0, 1000)),
    "sd-unet64": Row("SD U-Net, 64² latents", f"{SD}:predict", 859520964, {"B": 1, "h": 64, "w": 64}, ints=(0, 1000)),
}
FLOATS = {"f32": numpy.float32, "f64": numpy.float64}


def generator(name):
    return numpy.random.default_rng(zlib.crc32(name.encode()))


def weight(name, shape, dtype=numpy.float32):
    """Random: fresh weights begin as zeros in many last layers, and then outputs would say nothing."""
    rng, shape = generator(name), tuple(shape)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(dtype)
    value = rng.standard_normal(shape, dtype=numpy.float32)
    if len(shape) > 1:
        value *= numpy.float32(float(numpy.prod(shape[1:])) ** -0.5)
    else:
        value *= numpy.float32(0.1)
        if name.endswith("weight"):
            value += numpy.float32(0.9)
    return value.astype(dtype, copy=False)


def input_value(name, shape, dtype, ints):
    rng = generator("input " + name)
    if numpy.issubdtype(dtype, numpy.floating):
        return rng.uniform(0, 1, shape).astype(dtype)
    return rng.integers(*ints, shape).astype(dtype)

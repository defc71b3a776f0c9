from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "jax_ssl" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

setup(
    name="jax_ssl",
    version=VERSION,
    description="Self-supervised learning in JAX, on one device or many",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    # The pages lie at the top of a checkout, and in the package once installed.
    packages=[*find_packages(include=["jax_ssl", "jax_ssl.*"]), "jax_ssl.configs"],
    package_dir={"jax_ssl.configs": "configs"},
    package_data={
        "jax_ssl": ["py.typed"],  # Its types are for those who import it, too.
        "jax_ssl.report": ["*.html", "*.mplstyle"],
    },
    python_requires=">=3.11",
    install_requires=[
        "jax>=0.10.2",
        "flax>=0.12.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.12.8",
        "tensorflow-datasets>=4.9.9",
        "importlib_resources",  # tensorflow-datasets 4.9.10 imports it undeclared.
        "ml-collections>=1.0.0",
        "chex>=0.1.90",
        "filelock>=3.12",  # JAX's cache of programs needs it to drop old ones.
        "numpy>=1.26",
        "pillow>=10.1",
        "scikit-learn>=1.5",
        "matplotlib>=3.8",
        "jinja2>=3.1",
        "tqdm>=4.60",
        "threadpoolctl>=3.1",
    ],
    extras_require={
        "test": ["pytest>=8.0", "pytest-xdist>=3.5", "tensorboardX>=2.6"],
        "docs": [
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.5",
            "mkdocstrings[python]>=0.27",
            "nbclient>=0.10",  # Executes the notebooks.
            "ipykernel>=6.29",
        ],
        "lint": ["ruff>=0.12", "mypy>=1.15"],
        "audio": ["soundfile>=0.12", "librosa>=0.10"],  # Sound files; MFCCs.
        "tensorboard": ["tensorboardX>=2.6"],
        "wandb": ["wandb>=0.17"],
        "mlflow": ["mlflow-skinny>=2.14"],
        "hf": ["datasets>=4"],  # Tables of the Hugging Face hub and its Parquet.
        "parquet": ["pyarrow>=15"],  # Features as .parquet.
        "coco": ["pycocotools>=2.0.8"],  # The judge of detection in the tests.
        "onnx": ["jax2onnx>=0.13"],  # jax-ssl export --to=onnx.
        # To compare imported weights with the libraries that they come from.
        "verify": ["torch", "torchvision", "timm", "transformers", "safetensors"],
        "cuda": ["jax[cuda12]>=0.10.2"],
        "tpu": ["jax[tpu]>=0.10.2"],
        "tensorflow": ["tensorflow>=2.16"],  # Only to prepare some data sets.
    },
    entry_points={"console_scripts": ["jax-ssl = jax_ssl.__main__:main"]},
)

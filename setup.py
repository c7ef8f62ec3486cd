"""Packaging. What a box runs is in `install_requires`; everything else is an extra."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "device/__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

setup(
    name="vouchbox",
    version=VERSION,
    description="An identity-verification box that gives out one signed verdict and no image",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["device", "device.*", "models", "models.*", "provisioning", "provisioning.*"]),
    include_package_data=True,
    package_data={
        "device": [
            "notary/policies/*.toml",
            "vision/camera/scenarios/*.toml",
            "vision/camera/emulation/fonts/*",
            "vision/liveness/parameters.toml",
            "gateway/static/*",
            "gateway/templates/*",
            "gateway/languages/*.toml",
        ],
        "provisioning": ["selftest/*.toml", "fleet/**/*", "image/**/*"],
        "models": ["manifest.toml", "document.toml", "*.tflite", "cards/*.md"],
    },
    install_requires=[
        "numpy>=1.26",
        "opencv-python-headless>=4.9",
        "ai-edge-litert>=2.0; python_version>='3.10'",
        "zxing-cpp>=3.0",
        "msgspec>=0.18",
        "tomli-w>=1.0",
        "click>=8.1",
        "rich>=13",
        "flask>=3.0",
        "cheroot>=10.0",
        "cryptography>=45",
        "joserfc>=1.0",
        "python-stdnum>=2.0",
        "prometheus-client>=0.20",
    ],
    extras_require={
        "box": ["systemd-python>=235; sys_platform=='linux'"],
        "tpm": ["tpm2-pytss>=2.3"],
        "pkcs11": ["python-pkcs11>=0.7"],
        "demo": ["matplotlib>=3.8", "scikit-image>=0.22", "pillow>=10"],
        "evaluate": ["matplotlib>=3.8"],
        # The browser tests of the kiosk page; they use the system's chromium and are skipped without either.
        "browser": ["playwright>=1.45", "axe-playwright-python>=0.1.4"],
        # The organisation's controller, never a box: Ansible rolls out, stops and rolls back (provisioning/fleet).
        "fleet": ["ansible-core>=2.15"],
        "training": [
            "torch==2.13.0",
            "litert-torch>=0.10",
            "ai-edge-quantizer>=0.10",
            "onnx>=1.16",
            "onnxruntime>=1.20",
            "pillow>=10",
        ],
        "test": [
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "schemathesis>=4.0",
            "import-linter>=2.0",
            "mypy>=1.10",
            "ruff>=0.6",
            "pyjwt>=2.8",
            "sd-jwt>=0.10",
            "pillow>=10",
        ],
    },
    entry_points={
        "console_scripts": [
            "vouchbox=device.cli:main",
            "vouchbox-provision=provisioning.cli:main",
        ]
    },
)

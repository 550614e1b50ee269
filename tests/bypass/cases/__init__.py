"""Every case, by subject. Importing a module adds its cases; the order here is that of the page."""

from . import places, makers, updates, subresources, names, identity, namespaces, waivers, signatures, sizes, port  # noqa: F401

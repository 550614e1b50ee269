"""Lays jars out and packs them into each other, the same bytes each time: pack.py JARS TARGET"""

import io
import os
import sys
import zipfile

WHEN = (2024, 1, 1, 0, 0, 0)


def archive(entries):
    """A zip of (path, bytes)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path, content in entries:
            bundle.writestr(zipfile.ZipInfo(path, WHEN), content)
    return out.getvalue()


def manifest(title, version):
    text = f"Manifest-Version: 1.0\r\nImplementation-Title: {title}\r\nImplementation-Version: {version}\r\n\r\n"
    return ("META-INF/MANIFEST.MF", text.encode())


def properties(group, artifact, version):
    text = f"groupId={group}\nartifactId={artifact}\nversion={version}\n"
    return (f"META-INF/maven/{group}/{artifact}/pom.properties", text.encode())


def main():
    source, target = sys.argv[1:]
    jars = {}
    for name in sorted(os.listdir(source)):
        with open(os.path.join(source, name), "rb") as file:
            jars[name] = file.read()
    take = lambda folder, *starts: [(f"{folder}/{name}", jar) for name, jar in jars.items() if name.startswith(starts)]

    boot = archive([
        manifest("agreement-boot", "1.0.0"), properties("org.example", "agreement-boot", "1.0.0"),
        *take("BOOT-INF/lib", "spring-", "log4j-core", "netty-"),
    ])
    war = archive([
        manifest("agreement-war", "2.0.0"), properties("org.example", "agreement-war", "2.0.0"),
        *take("WEB-INF/lib", "commons-", "zookeeper", "curator-"),
    ])
    ear = archive([manifest("agreement-ear", "3.0.0"), *take("lib", "dom4j", "log4j-1"), ("agreement.war", war)])

    os.makedirs(os.path.join(target, "lib"))
    for name, jar in {**{f"lib/{name}": jar for name, jar in jars.items()}, "boot.jar": boot, "agreement.ear": ear}.items():
        with open(os.path.join(target, name), "wb") as file:
            file.write(jar)


main()

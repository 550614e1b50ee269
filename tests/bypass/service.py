"""Stands for a Service: connections go to the replicas that are ready. service.py PORT FOLDER

Each file of the folder is a replica, `PORT METRICS-PORT`. As in a cluster a replica is looked at now and then, gets new connections
while its /readyz says so, and keeps those it has.
"""

import asyncio
import pathlib
import random
import sys
import urllib.request

LOOK = 0.5


class Service:
    def __init__(self, folder):
        self.folder, self.ready, self.tasks = folder, [], set()

    def look(self):
        ready = []
        for file in sorted(self.folder.iterdir()):
            try:
                port, metrics = file.read_text(encoding="utf-8").split()
                with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/readyz", timeout=2):
                    ready.append(int(port))
            except (OSError, ValueError):
                continue
        return ready

    async def watch(self):
        while True:
            self.ready = await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK)

    async def connection(self, reader, writer):
        try:
            if not self.ready:
                return
            theirs = await asyncio.open_connection("127.0.0.1", random.choice(self.ready))
            await asyncio.gather(pass_on(reader, theirs[1]), pass_on(theirs[0], writer))
        except OSError:
            pass
        finally:
            writer.close()


async def pass_on(reader, writer):
    """Until the one side ends; then the other is told."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(port, folder):
    service = Service(pathlib.Path(folder))
    watching = asyncio.create_task(service.watch())
    server = await asyncio.start_server(service.connection, "127.0.0.1", port)
    async with server:
        await asyncio.gather(watching, server.serve_forever())


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))

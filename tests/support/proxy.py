# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that can stop forwarding: a network that is cut, without either side being told.

    p = Proxy("tcp://127.0.0.1:7411")
    c = Client(p.url)
    p.stall()      # connections stay, bytes wait
    p.heal()       # and go on
    p.close()
"""

import select
import socket
import threading


class Proxy:
    def __init__(self, url):
        host, port = url.removeprefix("tcp://").rsplit(":", 1)
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.flows = threading.Event()
        self.flows.set()
        self.closing = False
        self.sockets = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def stall(self):
        self.flows.clear()

    def heal(self):
        self.flows.set()

    def close(self):
        self.closing = True
        self.flows.set()
        for s in [self.listener] + self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for t in self.threads:
            t.join(10)
        for s in [self.listener] + self.sockets:
            s.close()

    def _accept(self):
        while not self.closing:
            try:
                near = self.listener.accept()[0]
            except OSError:
                continue  # closing
            self.flows.wait()
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()  # the broker is not there: so the client is told
                continue
            for s in (near, far):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets += [near, far]
            t = threading.Thread(target=self._forward, args=(near, far), daemon=True)
            self.threads.append(t)
            t.start()

    def _forward(self, near, far):
        other = {near: far, far: near}
        try:
            while True:
                for s in select.select([near, far], [], [])[0]:
                    self.flows.wait()
                    data = s.recv(65536)
                    if not data:
                        return
                    other[s].sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            for s in (near, far):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

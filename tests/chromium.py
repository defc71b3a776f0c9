"""Pages in a real browser: headless Chromium by its DevTools protocol, over two pipes.

Nothing is needed but the browser itself. Its protocol:
https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # Root, as in containers, cannot have one.
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--hide-scrollbars",
)
SECONDS = 90.0  # for an answer, or for a page to be loaded
# Its descriptors are 3 and 4; some installations are scripts of sh, which knows 0 to 9.
PIPES = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
LOOK = pathlib.Path(__file__).with_name("chromium.js").read_text()


def program():
    """The path of the browser, or None; the variable CHROMIUM names another."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One tab, in a browser of its own.

    Attributes:
        events: what the browser has said since the last page was asked for.
    """

    def __init__(self, path, profile):
        """Starts the browser `path` with the new folder `profile` for its files."""
        (its_in, self.writer), (self.reader, its_out) = os.pipe(), os.pipe()
        own = [f"--user-data-dir={profile}", "about:blank"]
        pipes = [str(its_in), str(its_out)]
        self.process = subprocess.Popen(
            ["bash", "-c", PIPES, "pipes", *pipes, path, *FLAGS, *own],
            pass_fds=(its_in, its_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_in)
        os.close(its_out)
        self.rest, self.asked, self.session, self.events = b"", 0, {}, []
        targets = self.ask("Target.getTargets")["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        found = self.ask("Target.attachToTarget", targetId=tab, flatten=True)
        self.session = {"sessionId": found["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self):
        """Ends the browser."""
        self.session = {}
        with contextlib.suppress(OSError, TimeoutError, subprocess.TimeoutExpired):
            self.ask("Browser.close")
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        os.close(self.reader)
        os.close(self.writer)

    def ask(self, method, **params):
        """The answer to one command of the protocol."""
        self.asked += 1
        asked = {"id": self.asked, "method": method, "params": params, **self.session}
        os.write(self.writer, json.dumps(asked).encode() + b"\0")
        said = self._until(lambda message: message.get("id") == self.asked)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']['message']}")
        return said["result"]

    def open(self, address):
        """Loads a page, and opens all that is folded in it."""
        self.events.clear()
        if error := self.ask("Page.navigate", url=address).get("errorText"):
            raise OSError(f"{address}: {error}")
        ends = "Page.loadEventFired"
        if not any(event["method"] == ends for event in self.events):
            self._until(lambda message: message.get("method") == ends)
        self.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        # What fades or moves at the beginning has done so after this.
        self.run("new Promise(done => setTimeout(done, 500))")

    def show(self, width, scheme):
        """How the pages that are opened after this are shown.

        Args:
            width: of the window in CSS pixels; below 600 it is a phone's.
            scheme: "light" or "dark".
        """
        size = {"width": width, "height": 900, "deviceScaleFactor": 1}
        self.ask("Emulation.setDeviceMetricsOverride", **size, mobile=width < 600)
        self.width = width
        wanted = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=wanted)

    def run(self, script):
        """The value of a piece of JavaScript in the page."""
        found = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def complaints(self):
        """Errors on the console, and requests that failed or left this machine."""
        said = []
        for event in self.events:
            method, told = event.get("method"), event.get("params", {})
            if method == "Log.entryAdded" and told["entry"]["level"] == "error":
                said.append(f"console: {told['entry']['text']}")
            elif method == "Runtime.consoleAPICalled" and told["type"] == "error":
                words = (each.get("value", each) for each in told["args"])
                said.append(f"console: {' '.join(map(str, words))}")
            elif method == "Runtime.exceptionThrown":
                said.append(f"exception: {told['exceptionDetails']}")
            elif method == "Network.loadingFailed" and not told.get("canceled"):
                said.append(f"failed: {told['errorText']}")
            elif method == "Network.responseReceived":
                answer = told["response"]
                if answer["status"] >= 400:
                    said.append(f"{answer['status']}: {answer['url']}")
            elif method == "Network.requestWillBeSent":
                where = told["request"]["url"]
                if not where.startswith(("file:", "data:", "http://127.0.0.1:")):
                    said.append(f"not of this machine: {where}")
        return said

    def sideways(self):
        """By how many pixels the page is wider than the window.

        innerWidth is no measure of that: on a phone it grows with the page.
        """
        return self.run("document.scrollingElement.scrollWidth") - self.width

    def words(self, root="body"):
        """The pieces of text below `root` that can be seen, and how they look.

        Returns:
            Dicts of "contrast", "size" in pixels, "tag", "name" of the class, "said".
        """
        return self.run(f"({LOOK})({json.dumps(root)})")

    def picture(self):
        """The whole page as PNG."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def _until(self, wanted):
        """The first message that is wanted; events before it, and itself, are kept."""
        until = time.monotonic() + SECONDS
        while True:
            while b"\0" in self.rest:
                piece, _, self.rest = self.rest.partition(b"\0")
                message = json.loads(piece)
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.reader], [], [], left)[0]:
                raise TimeoutError(f"the browser was silent for {SECONDS:g} s.")
            if not (read := os.read(self.reader, 1 << 20)):
                raise OSError("the browser has ended.")
            self.rest += read

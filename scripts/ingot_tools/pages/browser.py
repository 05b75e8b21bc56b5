"""A headless Chromium, driven by its DevTools protocol over a pipe: messages are JSON texts that end in a zero byte."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = [
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
]


def find():
    """The path of a Chromium; None when there is none. $INGOT_CHROMIUM names one."""
    for name in [os.environ.get("INGOT_CHROMIUM")] + NAMES:
        path = name and shutil.which(name)
        if path:
            return path
    return None


class Browser:
    """One process; `page` opens tabs."""

    def __init__(self, path):
        self.profile = tempfile.TemporaryDirectory(prefix="ingot-pages-")
        to_child, our_out = os.pipe()
        our_in, from_child = os.pipe()
        arguments = [path, "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
                     "--force-color-profile=srgb", f"--user-data-dir={self.profile.name}"]
        if os.path.basename(path).find("headless-shell") < 0:
            arguments.append("--headless=new")
        if os.geteuid() == 0:
            # Chromium's sandbox refuses root. The pages are ours, and without network.
            arguments.append("--no-sandbox")

        def place():
            # The protocol's ends are descriptors 3 and 4.
            read, write = os.dup(to_child), os.dup(from_child)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=place)
        os.close(to_child)
        os.close(from_child)
        self.input, self.output = our_in, our_out
        self.buffer = b""
        self.number = 0
        self.events = []

    def close(self):
        try:
            self.call("Browser.close")
        except (OSError, RuntimeError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.input)
        os.close(self.output)
        # A helper process may still write to it for a moment.
        shutil.rmtree(self.profile.name, ignore_errors=True)
        self.profile._finalizer.detach()  # type: ignore[attr-defined]

    def _message(self, timeout):
        end = time.monotonic() + timeout
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.input], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise RuntimeError("the browser does not answer")
            chunk = os.read(self.input, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser has ended")
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, timeout=60, **parameters):
        """The result of a method. Events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data):]
        while True:
            answer = self._message(timeout)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait(self, name, session, timeout=60):
        """Waits for an event of a session."""
        seen = 0
        while True:
            while seen < len(self.events):
                event = self.events[seen]
                seen += 1
                if event.get("method") == name and event.get("sessionId") == session:
                    return event["params"]
            self.events.append(self._message(timeout))


class Tab:
    """A page under one viewport and colour scheme, from its opening to its closing."""

    def __init__(self, browser, width, height, scheme, mobile, scale=1):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        browser.events.clear()
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"]:
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}])

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def open(self, path):
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        self.browser.wait("Page.loadEventFired", self.session)

    def value(self, expression):
        """What an expression of JavaScript gives, as Python sees its JSON."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{result['exceptionDetails']}")
        return result["result"].get("value")

    def complaints(self):
        """What the page has said on the console, errors that were thrown, and requests but the one for itself."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, values = event["method"], event["params"]
            if method == "Runtime.consoleAPICalled":
                found.append(f"console.{values['type']}: {[one.get('value') for one in values['args']]}")
            elif method == "Runtime.exceptionThrown":
                found.append(f"exception: {values['exceptionDetails'].get('text')} {values['exceptionDetails'].get('exception', {}).get('description')}")
            elif method == "Log.entryAdded":
                found.append(f"log: {values['entry']['text']}")
            elif method == "Audits.issueAdded":
                found.append(f"issue: {values['issue']['code']}")
            elif method == "Page.javascriptDialogOpening":
                found.append(f"dialog: {values['message']}")
            elif method == "Network.requestWillBeSent" and values.get("type") != "Document":
                found.append(f"request: {values['request']['url']}")
            elif method == "Network.loadingFailed":
                found.append(f"failed: {values.get('errorText')}")
        return found

    def screenshot(self, path, clip=None):
        parameters = {"format": "png", "captureBeyondViewport": True}
        if clip:
            parameters["clip"] = {**clip, "scale": 1}
        data = self.call("Page.captureScreenshot", **parameters)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

"""Certificate authorities of the suites' own."""

import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """An authority, with its files and those of what it issues in a folder."""

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.folder = folder
        self.file = folder / "authority.pem"
        self.key = folder / "authority.key"
        openssl(
            "req", "-x509", *KEY, "-subj", f"/CN={folder.name}",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-keyout", self.key, "-out", self.file,
        )  # fmt: skip

    def issue(self, name, alternative):
        """Files of a certificate, and of its key, for what is named so."""
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl(
            "req", "-x509", *KEY, "-CA", self.file, "-CAkey", self.key, "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", f"subjectAltName={alternative}",
            "-keyout", key, "-out", cert,
        )  # fmt: skip
        return cert, key

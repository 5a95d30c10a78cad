// An authority of its own, and certificates of it, made with openssl into a temporary folder.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./gateway.js";

const openssl = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });

/** A key pair of its own that `issue` makes certificates with. */
class Authority {
  constructor(name) {
    this.folder = temporaryFolder();
    this.certFile = join(this.folder, "ca.pem");
    this.keyFile = join(this.folder, "ca.key");
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", this.keyFile);
    openssl("req", "-x509", "-new", "-key", this.keyFile, "-subj", `/CN=${name}`, "-days", "2", "-out", this.certFile);
  }

  /** Files `<label>.pem` and `<label>.key`; `use`: "serverAuth", "clientAuth", or both. */
  issue(label, { names = [], ips = [], use = "serverAuth", days = 1 } = {}) {
    const at = (ending) => join(this.folder, `${label}.${ending}`);
    const alternatives = [...names.map((name) => `DNS:${name}`), ...ips.map((ip) => `IP:${ip}`)];
    const extensions = ["basicConstraints=critical,CA:FALSE", `extendedKeyUsage=${use}`];
    if (alternatives.length > 0) extensions.push(`subjectAltName=${alternatives}`);
    writeFileSync(at("ext"), `${extensions.join("\n")}\n`);
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at("key"));
    openssl("req", "-new", "-key", at("key"), "-subj", `/CN=${label}`, "-out", at("csr"));
    openssl("x509", "-req", "-in", at("csr"), "-CA", this.certFile, "-CAkey", this.keyFile, "-CAcreateserial", "-days", `${days}`, "-extfile", at("ext"), "-out", at("pem"));
    return { certFile: at("pem"), keyFile: at("key") };
  }
}

/**
 * An authority, a certificate for a server at these names and addresses (and for a node, which is a client of other nodes as
 * well), and one for a client. The texts are there beside the files, as Node's `tls` takes them.
 */
export function makeCertificates({ names = ["localhost"], ips = ["127.0.0.1"], authority = "Test Authority" } = {}) {
  const issuer = new Authority(authority);
  const server = issuer.issue("server", { names, ips, use: "serverAuth,clientAuth" });
  const client = issuer.issue("client", { use: "clientAuth" });
  const files = { caFile: issuer.certFile, certFile: server.certFile, keyFile: server.keyFile, clientCertFile: client.certFile, clientKeyFile: client.keyFile };
  const texts = Object.fromEntries(Object.entries(files).map(([name, file]) => [name.replace("File", ""), readFileSync(file, "utf8")]));
  return { ...files, ...texts, issuer };
}

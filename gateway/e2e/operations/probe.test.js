// `carillon probe` asks the gateway beside it, as its configuration says, and answers by its exit code.

import assert from "node:assert/strict";
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { makeCertificates } from "../harness/certificates.js";
import { launchGateway, reference, runCarillon, startGateway, temporaryFolder, toToml } from "../harness/gateway.js";
import { freePort } from "../harness/ports.js";
import { eventually } from "../harness/wait.js";

describe("carillon probe", { skip: reference && "about the gateway's own command line" }, () => {
  const probe = (config, ...words) => runCarillon(["probe", ...words, "--config", "FILE"], { config });

  it("says that it is ready or alive, and where nobody answers, that", async () => {
    const internal = { listen: `127.0.0.1:${await freePort()}` };
    const gateway = await startGateway({ internal });
    for (const words of [[], ["/readyz"], ["/healthz"]]) {
      const { code, output } = await probe({ internal }, ...words);
      assert.equal(code, 0, output);
      assert.notEqual(output, "");
    }
    // by the environment alone, as a container has it, and at a gateway that listens everywhere
    const env = { CARILLON_INTERNAL__LISTEN: internal.listen.replace("127.0.0.1", "0.0.0.0") };
    assert.equal((await runCarillon(["probe"], { env })).code, 0);
    const unknown = await probe({ internal }, "/nowhere");
    assert.deepEqual([unknown.code, /^error: 404 /.test(unknown.output)], [1, true], unknown.output);
    await gateway.stop();
    const { code, output } = await probe({ internal });
    assert.equal(code, 1);
    assert.match(output, /^error: no answer from http:\/\/127\.0\.0\.1:\d+\/readyz/);
  });

  it("says why it is not ready, while it is alive", async () => {
    const config = { internal: { listen: `127.0.0.1:${await freePort()}` }, redis: { url: `redis://127.0.0.1:${await freePort()}/0` } };
    const { child, exited } = launchGateway(config);
    await eventually(async () => (await probe(config, "/healthz")).code === 0, "it to be alive");
    const { code, output } = await probe(config);
    assert.equal(code, 1);
    assert.match(output, /^error: 503 .*starting/);
    child.kill("SIGKILL");
    await exited;
  });

  it("shows the node's own certificate where callers must have one, whatever name is in it", async () => {
    const { caFile, certFile, keyFile } = makeCertificates({ names: ["carillon.internal"], ips: [] });
    const tls = { cert_file: certFile, key_file: keyFile, client_ca_file: caFile };
    const internal = { listen: `127.0.0.1:${await freePort()}`, tls };
    const gateway = await startGateway({ internal });
    const ready = await probe({ internal });
    assert.equal(ready.code, 0, ready.output);
    const without = await probe({ internal: { ...internal, tls: { ...tls, client_ca_file: "" } } });
    assert.equal(without.code, 1, "it shows none where it believes that none is asked for");
    const plain = await probe({ internal: { listen: internal.listen } });
    assert.equal(plain.code, 1, plain.output);
    await gateway.stop();
  });

  it("goes on where the file has become wrong beside it, and tells of what it cannot do without", async () => {
    const internal = { listen: `127.0.0.1:${await freePort()}` };
    const gateway = await startGateway({ internal });
    const file = join(temporaryFolder(), "carillon.toml");
    writeFileSync(file, `${toToml({ internal })}[drian]\nspread = 7\n`);
    assert.equal((await runCarillon(["check-config", "--config", file])).code, 1);
    assert.equal((await runCarillon(["probe", "--config", file])).code, 0);
    await gateway.stop();
    const { code, output } = await probe({ internal: { listen: "127.0.0.1:0" } });
    assert.deepEqual([code, /port 0/.test(output)], [1, true], output);
    assert.match((await probe({ internal: { ...internal, tls: { cert_file: "/no.pem", key_file: "/no.key", client_ca_file: "/no.ca" } } })).output, /internal\.tls\..*\/no\.pem/);
  });
});

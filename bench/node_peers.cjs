// The peers on Node, for bench/verify.py: it names a case and a count on stdin, and reads the seconds that took on stdout.
"use strict";
const path = require("node:path");
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const { createPrivateKey, createPublicKey, createSecretKey } = require("node:crypto");

const load = createRequire(path.join(path.resolve(process.argv[2]), "x.cjs"));
const version = (name) => {
  for (let at = path.dirname(load.resolve(name)); ; at = path.dirname(at)) {
    try {
      const found = require(path.join(at, "package.json"));
      if (found.name === name && found.version) return found.version;
    } catch {}
  }
};

async function prepare(all) {
  const fast = load("fast-jwt"), jose = load("jose"), jsonwebtoken = load("jsonwebtoken");
  const { iss, aud } = all.expect;
  const needed = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
  const cases = {};
  const attempt = async (name, make) => {
    try {
      const call = await make();
      await call();
      cases[name] = call;
    } catch {} // it has no such algorithm
  };
  for (const alg of Object.keys(all).filter((name) => name !== "expect")) {
    const { token, payload, jwk, public: publicPem, private: privatePem } = all[alg];
    const secret = alg === "HS256" ? Buffer.from(jwk.k, "base64url") : null;
    const header = { alg, kid: jwk.kid, typ: "at+jwt" };
    const verifying = secret ? createSecretKey(secret) : createPublicKey(publicPem);
    const signing = secret ? verifying : createPrivateKey(privatePem);
    // fast-jwt: a verifier made once, with the key in the form its README gives; EdDSA is its name for Ed25519
    const theirs = alg === "Ed25519" ? "EdDSA" : alg;
    const settings = { algorithms: [theirs], allowedIss: iss, allowedAud: aud, requiredClaims: needed };
    const fastSign = () =>
      fast.createSigner({ key: secret ?? privatePem, algorithm: theirs, kid: jwk.kid, header: { typ: "at+jwt" } });
    await attempt(`sign ${alg} fast-jwt`, () => { const sign = fastSign(); return () => sign(payload); });
    for (const [name, cache] of [["fast-jwt", false], ["fast-jwt, cache hit", 1000]])
      await attempt(`verify ${alg} ${name}`, () => {
        const verify = fast.createVerifier({ ...settings, key: secret ?? publicPem, cache });
        const bytes = Buffer.from(fastSign()(payload));
        return cache ? () => verify(bytes.toString("latin1")) : ((text) => () => verify(text))(bytes.toString());
      });
    // jsonwebtoken and jose: key objects made once
    await attempt(`verify ${alg} jsonwebtoken`, () => {
      const options = { algorithms: [alg], issuer: iss, audience: aud };
      return () => jsonwebtoken.verify(token, verifying, options);
    });
    await attempt(`sign ${alg} jsonwebtoken`, () => {
      const options = { algorithm: alg, header };
      return () => jsonwebtoken.sign({ ...payload }, signing, options);
    });
    await attempt(`verify ${alg} jose`, async () => {
      const key = await jose.importJWK({ ...jwk, d: undefined }, alg);
      const options = { algorithms: [alg], issuer: iss, audience: aud, typ: "at+jwt", requiredClaims: needed };
      return () => jose.jwtVerify(token, key, options);
    });
    await attempt(`sign ${alg} jose`, async () => {
      const key = await jose.importJWK({ ...jwk, use: undefined }, alg);
      return () => new jose.SignJWT(payload).setProtectedHeader(header).sign(key);
    });
  }
  return cases;
}

async function main() {
  let cases = null;
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    if (cases === null) {
      cases = await prepare(asked);
      const names = ["fast-jwt", "jose", "jsonwebtoken"].map((name) => `${name} ${version(name)}`);
      console.log(JSON.stringify([[`Node ${process.version}`, ...names], Object.keys(cases)]));
      continue;
    }
    const [name, count] = asked, call = cases[name], waits = / jose$/.test(name);
    const start = process.cpuUsage();
    if (waits) for (let i = 0; i < count; i++) await call();
    else for (let i = 0; i < count; i++) call();
    const { user, system } = process.cpuUsage(start);
    console.log(JSON.stringify((user + system) / 1e6));
  }
}
main();

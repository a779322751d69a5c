// Asks a flag for each unit with the published server SDK, one request each: node ask.mjs ADDRESS TOKEN FLAG UNITS.json
import { readFileSync } from "node:fs";
import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";

const [address, token, flag, file] = process.argv.slice(2);
const { units, fallback } = JSON.parse(readFileSync(file, "utf8"));
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: address, headers: [["Authorization", `Bearer ${token}`]] }));
const client = OpenFeature.getClient();
const ask = {
  boolean: client.getBooleanDetails,
  string: client.getStringDetails,
  number: client.getNumberDetails,
  object: client.getObjectDetails,
}[typeof fallback].bind(client);
const found = [];
for (const unit of units) {
  const { variant, value, reason, errorCode, flagMetadata } = await ask(flag, fallback, unit);
  found.push({ variant, value, reason, errorCode, version: flagMetadata?.version });
}
process.stdout.write(JSON.stringify(found));
await OpenFeature.close();

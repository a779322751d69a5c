// Sets the context of each unit in turn with the published web SDK, which fetches all flags at once:
// node ask.mjs ADDRESS TOKEN FLAG UNITS.json
import { readFileSync } from "node:fs";
import { OpenFeature } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";

const [address, token, flag, file] = process.argv.slice(2);
const { units, fallback } = JSON.parse(readFileSync(file, "utf8"));
const provider = new OFREPWebProvider({
  baseUrl: address,
  headers: [["Authorization", `Bearer ${token}`]],
  pollInterval: 0,
  cacheMode: "disabled",
});
await OpenFeature.setProviderAndWait(provider, units[0]);
const client = OpenFeature.getClient();
const ask = {
  boolean: client.getBooleanDetails,
  string: client.getStringDetails,
  number: client.getNumberDetails,
  object: client.getObjectDetails,
}[typeof fallback].bind(client);
const found = [];
for (const unit of units) {
  await OpenFeature.setContext(unit);
  const { variant, value, reason, errorCode, flagMetadata } = ask(flag, fallback);
  found.push({ variant, value, reason, errorCode, version: flagMetadata?.version });
}
process.stdout.write(JSON.stringify(found));
await OpenFeature.close();

"use strict";
// Renders /openapi.json with the DOM alone: nothing is fetched from another host and no text becomes markup.

const METHODS = ["get", "post", "put", "patch", "delete"];
let contract;

function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function resolve(schema) {
  let found = schema;
  for (let steps = 0; found && found.$ref && steps < 10; steps += 1) {
    found = found.$ref.replace("#/", "").split("/").reduce((at, step) => at[step.replace("~1", "/")], contract);
  }
  return found || {};
}

function typeOf(schema) {
  const found = resolve(schema);
  const options = found.anyOf || found.oneOf || found.allOf;
  if (options) return [...new Set(options.map(typeOf))].join(" or ");
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (found.type === "array") return `list of ${typeOf(found.items || {})}`;
  if (found.type === "object" || found.properties) return found.title || "object";
  return [found.type || "any", found.format ? `(${found.format})` : ""].join(" ").trim();
}

function bounds(schema) {
  const found = resolve(schema);
  const words = [
    ["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"],
    ["minLength", "length ≥"], ["maxLength", "length ≤"], ["minItems", "items ≥"], ["maxItems", "items ≤"],
  ];
  const own = words.filter(([name]) => found[name] !== undefined).map(([name, sign]) => `${sign} ${found[name]}`);
  if (found.default !== undefined && found.default !== null) own.push(`default ${JSON.stringify(found.default)}`);
  return own.concat((found.anyOf || []).map(bounds).filter(Boolean)).join(", ");
}

function table(rows) {
  return make("table", {}, make("tbody", {}, ...rows.map(([name, required, type, limits, words]) =>
    make("tr", {},
      make("td", {}, make("code", {}, name), required ? make("span", { class: "must", title: "required" }, " *") : null),
      make("td", {}, type), make("td", {}, limits || ""), make("td", {}, words || "")))));
}

function fields(schema, depth = 0, prefix = "") {
  const found = resolve(schema);
  const branch = (found.anyOf || found.oneOf || []).map(resolve).find((option) => option.properties || option.items);
  const body = found.properties ? found : found.items ? resolve(found.items) : branch ? (branch.items ? resolve(branch.items) : branch) : {};
  const mark = found.items || (branch && branch.items) ? `${prefix}[].` : prefix && `${prefix}.`;
  return Object.entries(body.properties || {}).flatMap(([name, part]) => [
    [mark + name, (body.required || []).includes(name), typeOf(part), bounds(part), resolve(part).description || part.description],
    ...(depth < 3 ? fields(part, depth + 1, mark + name) : []),
  ]);
}

function example(schema, depth = 0) {
  const found = resolve(schema);
  if (found.examples && found.examples.length) return found.examples[0];
  if (found.default !== undefined && found.default !== null) return found.default;
  const options = found.anyOf || found.oneOf;
  if (options) return example(options.find((option) => resolve(option).type !== "null") || {}, depth);
  if (found.const !== undefined) return found.const;
  if (found.enum) return found.enum[0];
  if (depth > 4) return null;
  if (found.type === "array") return found.items ? [example(found.items, depth + 1)] : [];
  if (found.properties) {
    const asked = found.required && found.required.length ? found.required : Object.keys(found.properties).slice(0, 3);
    return Object.fromEntries(asked.map((name) => [name, example(found.properties[name], depth + 1)]));
  }
  if (found.format === "date-time") return "2026-03-01T00:00:00Z";
  return { string: "text", integer: 1, number: 0.5, boolean: true, object: {} }[found.type] ?? null;
}

function tryIt(path, method, operation, body) {
  const inputs = (operation.parameters || []).map((parameter) => ({ parameter, input: make("input", { type: "text", placeholder: typeOf(parameter.schema) }) }));
  const text = body ? make("textarea", { spellcheck: "false", "aria-label": "body" }) : null;
  if (text) text.value = JSON.stringify(example(body), null, 2);
  const result = make("pre", { hidden: "" });
  const send = async () => {
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (parameter.in === "query" && input.value !== "") query.append(parameter.name, input.value);
      else if (parameter.in === "header" && input.value !== "") headers[parameter.name] = input.value;
    }
    const token = document.getElementById("token").value;
    if (token) headers.Authorization = `Bearer ${token}`;
    if (text) headers["Content-Type"] = "application/json";
    result.hidden = false;
    result.textContent = "…";
    try {
      const started = performance.now();
      const base = document.baseURI.replace(/docs\/?$/, "").replace(/\/$/, "");
      const answer = await fetch(base + url + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), headers, body: text ? text.value : undefined });
      const said = await answer.text();
      let shown = said;
      try { shown = JSON.stringify(JSON.parse(said), null, 2); } catch { /* not JSON: shown as it came */ }
      result.className = answer.ok ? "good" : "bad";
      result.textContent = `${answer.status} ${answer.statusText} · ${Math.round(performance.now() - started)} ms\n\n${shown}`;
    } catch (error) {
      result.className = "bad";
      result.textContent = String(error);
    }
  };
  return make("details", {}, make("summary", {}, "Try it"),
    ...inputs.map(({ parameter, input }) => make("div", { class: "tryline" }, make("label", {}, make("code", {}, parameter.name), " ", input))),
    text, make("div", { class: "tryline" }, make("button", { type: "button", onclick: send }, "Send")), result);
}

function inside(path, method, operation) {
  const content = operation.requestBody ? Object.entries(operation.requestBody.content || {}) : [];
  const json = content.find(([kind]) => kind === "application/json");
  const parameters = (operation.parameters || []).map((p) => [`${p.name} (${p.in})`, p.required, typeOf(p.schema), bounds(p.schema), p.description || resolve(p.schema).description]);
  const bodyRows = json ? fields(json[1].schema) : [];
  const answers = Object.entries(operation.responses || {}).map(([status, answer]) => {
    const schema = answer.content && answer.content["application/json"] && answer.content["application/json"].schema;
    const rows = status < "300" && schema ? fields(schema) : [];
    return make("div", {}, make("code", { class: status < "300" ? "good" : "" }, status), ` ${resolve(answer).description || ""}`, rows.length ? table(rows) : null);
  });
  return make("div", { class: "inside" },
    make("p", {}, operation.description || ""),
    parameters.length ? make("h3", {}, "Parameters") : null, parameters.length ? table(parameters) : null,
    content.length ? make("h3", {}, `Body · ${content.map(([kind]) => kind).join(", ")}`) : null, bodyRows.length ? table(bodyRows) : null,
    make("h3", {}, "Answers"), ...answers,
    tryIt(path, method, operation, json && json[1].schema));
}

function operationNode(path, method, operation) {
  const role = operation["x-role"] || "no token";
  const node = make("details", { class: "operation", "data-words": [method, path, role, operation.summary, operation.description].join(" ").toLowerCase() },
    make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), make("span", { class: "path" }, path),
      make("span", { class: "role" }, role), make("span", { class: "what" }, (operation.description || operation.summary || "").split("\n")[0])));
  node.addEventListener("toggle", () => {
    if (node.open && node.childElementCount === 1) node.append(inside(path, method, operation));
  });
  return node;
}

function render() {
  const groups = new Map();
  for (const [path, operations] of Object.entries(contract.paths)) {
    for (const method of METHODS.filter((name) => operations[name])) {
      const tag = (operations[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationNode(path, method, operations[method]));
    }
  }
  document.getElementById("about").textContent = `${contract.info.summary || ""} Version ${contract.info.version}.`;
  document.getElementById("operations").replaceChildren(...[...groups].map(([tag, nodes]) => make("section", {}, make("h2", {}, tag), ...nodes)));
}

function find() {
  const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    let shown = 0;
    for (const node of section.querySelectorAll("details.operation")) {
      node.hidden = !words.every((word) => node.dataset.words.includes(word));
      shown += node.hidden ? 0 : 1;
    }
    section.hidden = shown === 0;
  }
}

document.getElementById("find").addEventListener("input", find);
fetch("openapi.json").then((answer) => answer.json()).then((found) => { contract = found; render(); }).catch((error) => {
  document.getElementById("about").textContent = `The document could not be read: ${error}`;
});

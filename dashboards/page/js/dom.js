// Elements from values. Text is always set as text, so that a name from the data can never become markup.

/** An element; attributes with null, undefined or false are left out, `on…` are listeners. Children are nodes, text, or lists of them. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** The same element with custom properties set; the page's policy forbids style attributes, not this. */
export function vary(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

let made = 0;
/** An id that no other element has. */
export const id = () => `e${(made += 1)}`;

/** A labelled select; `options` are [value, text]. */
export function select(label, options, value, onchange) {
  const name = id();
  const field = h("select", { id: name, onchange: () => onchange(field.value) });
  for (const [key, text] of options) field.append(h("option", { value: key, selected: key === value }, text));
  return h("div", {}, h("label", { for: name }, label), field);
}

/** One of few, as a row of radio buttons. */
export function choice(legend, options, value, onchange) {
  const name = id();
  const labels = options.map(([key, text]) =>
    h("label", {}, h("input", { type: "radio", name, value: key, checked: key === value, onchange: () => onchange(key) }), text),
  );
  return h("fieldset", {}, h("legend", {}, legend), h("div", { class: "choices" }, labels));
}

/** Figures with their names: [name, value, note or nothing]. */
export function figures(entries) {
  return h(
    "dl",
    { class: "figures" },
    entries.map(([name, value, note]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value), note ? h("dd", { class: "note" }, note) : null),
    ),
  );
}

/** What to say where there is nothing to show. */
export const message = (text) => h("p", { class: "message" }, text);

/** A small square in a series' colour. */
export const swatch = (color) => vary(h("span", { class: "swatch", "aria-hidden": "true" }), { "--swatch": color });

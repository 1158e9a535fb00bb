// Numbers, dates and codes as a reader expects them. Money arrives as whole cents or, in other currencies, as text; neither is rounded here.

const locale = "en-US";
const whole = new Intl.NumberFormat(locale);
const two = new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const short = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** What stands where there is no value. */
export const NOTHING = "–";
const unless = (format) => (value) => (value === null || value === undefined ? NOTHING : format(value));
const minus = (text) => text.replace("-", "−");

export const int = unless((n) => minus(whole.format(n)));
/** Cents as dollars, to the cent. */
export const usd = unless((cents) => minus(`${cents < 0 ? "-" : ""}$${two.format(Math.abs(cents) / 100)}`));
/** Cents as dollars for an axis. */
export const usdShort = (cents) => minus(`${cents < 0 ? "-" : ""}$${short.format(Math.abs(cents) / 100)}`);
export const intShort = (n) => short.format(n);
/** A decimal text with separators; every digit stays. */
export const decimal = unless((text) => {
  const [, sign, integer, fraction] = /^(-?)(\d+)(\.\d+)?$/.exec(text);
  return minus(sign) + integer.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction ?? "");
});
export const percent = unless((share) => `${(share * 100).toFixed(1)} %`);
/** The same without its sign, where the heading says it. */
export const percentage = unless((share) => (share * 100).toFixed(1));
export const stars = unless((n) => n.toFixed(2));
// Dates come as ISO text in UTC and are never turned into the reader's zone: a day here is the day of the marts.
const parts = (text) => ({ year: text.slice(0, 4), month: MONTHS[Number(text.slice(5, 7)) - 1], day: Number(text.slice(8, 10)) });
/** The day and its month, for an axis. */
export const dayShort = unless((text) => `${parts(text).day} ${parts(text).month}`);
export const day = unless((text) => `${dayShort(text)} ${parts(text).year}`);
export const month = unless((text) => `${parts(text).month} ${parts(text).year}`);
export const time = unless((text) => `${day(text)}, ${text.slice(11, 16)} UTC`);
export const seconds = unless((n) => `${n.toFixed(1)} s`);
/** A code of the marts in words: `paid_in_full` is "paid in full". */
export const words = unless((code) => String(code).replaceAll("_", " "));
/** With a capital letter, for headings and labels. */
export const title = unless((code) => words(code).replace(/^./, (letter) => letter.toUpperCase()));

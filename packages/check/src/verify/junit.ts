/** A report as JUnit's XML, which CI services read. https://llg.cubic.org/docs/junit/ */
import type { Verdict, VerifyReport } from './report.ts';

/** What XML 1.0 cannot hold, not even escaped, becomes U+FFFD. https://www.w3.org/TR/xml/#charsets */
const allowed = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- these are what is replaced
  text.replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]|\p{Cs}/gu, '\ufffd');

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;', '\n': '&#10;', '\r': '&#13;', '\t': '&#9;',
}; // prettier-ignore
/** For an attribute, and for text that shall keep its line ends in one. */
const escaped = (text: string): string => allowed(text).replaceAll(/[&<>"'\n\r\t]/g, (c) => ENTITIES[c]!);
/** For text between tags: line ends stay. */
const textual = (text: string): string => allowed(text).replaceAll(/[&<>\r]/g, (c) => ENTITIES[c]!);

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

function testCase({ name, says, state, message, ms }: Verdict): string {
  const head = `    <testcase classname="bax-check.verify" name="${escaped(`${name}: ${says}`)}" time="${seconds(ms)}"`;
  if (state === 'held') return `${head}/>`;
  const [first = ''] = message.split('\n');
  const inside =
    state === 'broken'
      ? `<failure type="CheckError" message="${escaped(first)}">${textual(message)}</failure>`
      : `<skipped message="${escaped(first)}"/>`;
  return `${head}>\n      ${inside}\n    </testcase>`;
}

/** The report as a JUnit XML document; `command` runs it again. */
export function junitXml(report: VerifyReport, command: string): string {
  const { laws, base, adapter, seed, cases } = report;
  const count = (state: Verdict['state']): number => laws.filter((law) => law.state === state).length;
  const numbers = `tests="${laws.length}" failures="${count('broken')}" errors="0" skipped="${count('not tried')}" time="${seconds(laws.reduce((ms, law) => ms + law.ms, 0))}"`; // prettier-ignore
  const properties = Object.entries({ base, adapter, seed, cases, command }).map(
    ([name, value]) => `      <property name="${name}" value="${escaped(String(value))}"/>`,
  );
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="bax-check" ${numbers}>`,
    `  <testsuite name="${escaped(`verify ${adapter}`)}" ${numbers}>`,
    '    <properties>',
    ...properties,
    '    </properties>',
    ...laws.map(testCase),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

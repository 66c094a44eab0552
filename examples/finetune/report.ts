/** The page at the end: what was trained, what it changed, what it cost, and where it lies. */
import type { LoraPlan, MergedComparison, MergeReport, SavedAdapter } from 'bax';
import { bytes, clock, count } from './progress.ts';

/** The same measure before and after training. */
export interface BeforeAfter<T> {
  readonly before: T;
  readonly after: T;
}
export interface Report {
  readonly text: string;
  readonly plan: LoraPlan;
  readonly modelBytes: number;
  readonly saved: SavedAdapter;
  readonly steps: number;
  readonly seconds: number;
  /** Perplexity on the held-out part of the text. */
  readonly target: BeforeAfter<number>;
  /** Perplexity on the held-out part of what the base was made from; undefined if that is not known. */
  readonly own: BeforeAfter<number> | undefined;
  readonly prompt: string;
  readonly samples: BeforeAfter<string>;
  readonly merge: MergeReport;
  readonly comparison: MergedComparison;
  readonly files: readonly (readonly [path: string, what: string])[];
  readonly adapter: string;
  readonly model: string;
}

const change = ({ before, after }: BeforeAfter<number>): string =>
  `${before.toFixed(1)} → ${after.toFixed(1)}  (${after < before ? '−' : '+'}${Math.abs((100 * (after - before)) / before).toFixed(1)} %)`;
/** In lines of at most 84 characters; a control character that a model made up shall not reach the terminal. */
const quote = (text: string): string =>
  text
    .replace(/\s+/g, ' ')
    .replace(/\p{Cc}/gu, '\ufffd')
    .replace(/(.{1,84})(?: |$)|(.{84})/gu, '    $1$2\n')
    .trimEnd();

/** Reads well in a terminal and as Markdown, where what is indented by four is shown as it stands. */
export function reportText(r: Report): string {
  const { plan } = r;
  const { r: rank, alpha } = plan.config;
  const holds = r.comparison.difference <= r.comparison.bound && r.merge.layers.every((l) => l.ratio <= 1);
  const width = Math.max(...r.files.map(([path]) => path.length));
  const own = r.own && `\n    ${'its own domain'.padEnd(20)} ${change(r.own)}  what adapting made it forget`;
  const padded = `\n                  (${count(r.saved.stored)} numbers: PEFT's format writes the slices as one block, with zeros between)`;
  return `# LoRA on ${r.text}

## What was trained

    h = W x + (α/r) · B A x, with W frozen, r = ${rank}, α = ${alpha}: ${plan.entries.length} pairs of A and B
    trainable     ${count(plan.parameters)} of ${count(plan.modelParameters)} parameters (${((100 * plan.parameters) / plan.modelParameters).toFixed(1)} %)
    on disk       ${bytes(r.saved.bytes)} of adapter, against ${bytes(r.modelBytes)} for the whole model in f32${r.saved.stored > r.saved.trained ? padded : ''}
    cost          ${r.steps} steps in ${clock(r.seconds)} minutes

## Did it learn?

Perplexity: how many tokens the model hesitates between, on text it never saw; lower is better.

    ${r.text.padEnd(20)} ${change(r.target)}${own ?? ''}

## The same prompt, before and after: ${JSON.stringify(r.prompt)}

before

${quote(r.samples.before)}

after

${quote(r.samples.after)}

## Merged is unmerged

W + (α/r) B A in place of W computes the same, at the base's cost: ${holds ? 'it holds' : 'IT DOES NOT HOLD'}.

    weights       ${r.merge.toString().replaceAll('; ', '\n                  ')}
    logits        largest difference ${r.comparison.difference.toExponential(2)}, allowed ${r.comparison.bound.toExponential(2)}
                  (${r.comparison.rule})

## What was written

${r.files.map(([path, what]) => `    ${path.padEnd(width)}  ${what}`).join('\n')}

## Load it in PEFT

    from peft import PeftModel; from transformers import AutoModelForCausalLM
    base = AutoModelForCausalLM.from_pretrained(${JSON.stringify(r.model)})
    model = PeftModel.from_pretrained(base, ${JSON.stringify(r.adapter)})
`;
}

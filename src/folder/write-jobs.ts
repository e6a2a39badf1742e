/** The jobs of the write thread: everything that puts bytes or names onto the disk, one after the other. */
import { applyBatch } from './place-job.ts';
import * as stage from './stage-jobs.ts';
import * as trash from './trash-jobs.ts';

export interface WriteJobs {
  readonly stageList: typeof stage.stageList;
  readonly stageVerify: typeof stage.stageVerify;
  readonly stageWhole: typeof stage.stageWhole;
  readonly stageOpenPart: typeof stage.stageOpenPart;
  readonly stageCheckPart: typeof stage.stageCheckPart;
  readonly stagePart: typeof stage.stagePart;
  readonly stageCopy: typeof stage.stageCopy;
  readonly stageFinish: typeof stage.stageFinish;
  readonly stageDuplicate: typeof stage.stageDuplicate;
  readonly stageDiscard: typeof stage.stageDiscard;
  readonly takeFromTrash: typeof trash.takeFromTrash;
  readonly emptyTrash: typeof trash.emptyTrash;
  readonly emptyTrashDays: typeof trash.emptyTrashDays;
  readonly applyBatch: typeof applyBatch;
}

export const writeJobs: WriteJobs = {
  stageList: stage.stageList,
  stageVerify: stage.stageVerify,
  stageWhole: stage.stageWhole,
  stageOpenPart: stage.stageOpenPart,
  stageCheckPart: stage.stageCheckPart,
  stagePart: stage.stagePart,
  stageCopy: stage.stageCopy,
  stageFinish: stage.stageFinish,
  stageDuplicate: stage.stageDuplicate,
  stageDiscard: stage.stageDiscard,
  takeFromTrash: trash.takeFromTrash,
  emptyTrash: trash.emptyTrash,
  emptyTrashDays: trash.emptyTrashDays,
  applyBatch,
};

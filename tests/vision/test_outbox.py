"""What is worth a message: never a step too few, never more than the notary takes."""

from device.protocol import MAX_VISION_BYTES, FaceBox, Guidance, HeadPose, Progress, Stage, encode
from device.vision.outbox import COUNTDOWN_SECONDS, FOR_ANSWERS, GUIDANCE_BURST, GUIDANCE_HZ, MIRROR_HZ, Outbox

FLICKER = (Guidance.GLARE, Guidance.HOLD_STILL)


def progress(guidance=Guidance.HOLD_STILL, step=0, face=None, stage=Stage.DOCUMENT):
    pose = HeadPose(0, 0, 0) if face else None
    return Progress(stage=stage, guidance=guidance, seconds_left=60, step=step, steps=4, face=face, pose=pose)


def sent(outbox, offers):
    """The times of those (time, progress) that are sent."""
    return [time for time, message in offers if outbox.offer(message, time) is not None]


def test_a_new_stage_and_a_new_step_go_out_at_once():
    outbox = Outbox()
    offers = [
        (0.0, progress()),
        (0.01, progress(stage=Stage.SELFIE)),
        (0.02, progress(stage=Stage.SELFIE, step=1)),
        (0.03, progress(stage=Stage.SELFIE, step=1)),
    ]
    assert sent(outbox, offers) == [0.0, 0.01, 0.02]


def test_guidance_goes_out_at_once():
    changes = [(0.0, progress()), (0.1, progress(Guidance.GLARE)), (0.2, progress()), (5.0, progress(Guidance.GLARE))]
    assert sent(Outbox(), changes) == [time for time, _ in changes]


def test_guidance_that_flickers_is_told_as_often_as_somebody_can_follow():
    offers = [(n / 15, progress(FLICKER[n % 2])) for n in range(15 * 60)]
    times = sent(Outbox(), offers)
    assert 0.9 * 60 * GUIDANCE_HZ <= len(times) <= 60 * GUIDANCE_HZ + GUIDANCE_BURST + 1


def test_what_flickered_last_is_told_when_it_stays():
    flicker = [(n / 15, progress(FLICKER[n % 2])) for n in range(45)]
    still = [(3.0 + n / 15, progress(Guidance.MOVE_CLOSER)) for n in range(15)]
    outbox = Outbox()
    sent(outbox, flicker)
    told = sent(outbox, still)
    assert len(told) == 1
    assert told[0] < 3.0 + 1 / GUIDANCE_HZ + 0.1


def test_the_mirror_moves_a_few_times_a_second():
    offers = [(n / 30, progress(face=FaceBox(n % 5, 2, 9, 12))) for n in range(90)]
    assert 0.7 * 3 * MIRROR_HZ <= len(sent(Outbox(), offers)) <= 3 * MIRROR_HZ + 1


def test_the_countdown_goes_on_when_nothing_changes():
    assert len(sent(Outbox(), [(n / 10, progress()) for n in range(10 * 30)])) == 30 / COUNTDOWN_SECONDS


def test_ten_minutes_of_flicker_leave_room_for_every_step():
    outbox, spent = Outbox(), 0
    for n in range(15 * 600):
        offered = outbox.offer(progress(FLICKER[n % 2], face=FaceBox(n % 7, 2, 9, 12)), n / 15)
        spent += len(encode(offered)) + 2 if offered is not None else 0
    late = [progress(guidance, step=step, stage=Stage.SELFIE) for step, guidance in enumerate(Guidance)][:20]
    times = sent(outbox, [(601 + n, message) for n, message in enumerate(late)])
    assert len(times) == len(late), "every movement is still asked for"
    assert spent + sum(len(encode(message)) + 2 for message in late) <= MAX_VISION_BYTES - FOR_ANSWERS

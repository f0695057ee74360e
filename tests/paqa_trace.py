"""The right trace of a clip in which two voices speak in rain, for the tests that answer about it."""

FIELDS = {
    "planning": "what does the low voice say",
    "environment": "rain",
    "speaker": "2: low, high",
    "asr": "low: kettle river; high: window apple",
    "description": "low is first",
    "reasoning": "low says kettle river",
    "summary": "kettle river",
    "response": "kettle river",
    "final_answer": "kettle river",
}

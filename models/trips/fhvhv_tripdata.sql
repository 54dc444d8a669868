select
    -- of the first row of each key: the merge numbers the others
    {{ row_id(row_key('fhvhv'), '1') }} as unique_row_id,
    file_month,
    file_row,
    {{ trip_columns('fhvhv') | join(',\n    ') }}

from {{ ref('stg_tlc__fhvhv_trips') }}
where {{ is_version_to_merge('fhvhv') }}
